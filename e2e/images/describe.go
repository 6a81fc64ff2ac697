package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// describe writes digests.json, which maps an image's name to its reference by
// digest, and values.yaml, which makes the chart use these images; for another chart
// than argoseal's that is CHART.values.yaml.
func (b *builder) describe(images []built) error {
	digests := map[string]string{}
	charts := map[string]map[string]any{}
	for n, p := range programs {
		digests[p.name] = images[n].ref()
		file := "values.yaml"
		if p.chart != "" {
			file = p.chart + "." + file
		}
		if charts[file] == nil {
			charts[file] = map[string]any{}
		}
		img := map[string]string{"repository": images[n].name, "digest": images[n].digest}
		if p.value == "" {
			charts[file]["image"] = img
		} else {
			charts[file][p.value] = map[string]any{"image": img}
		}
		fmt.Println(images[n].ref())
	}
	digestsJSON, err := json.MarshalIndent(digests, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.out, "digests.json"), append(digestsJSON, '\n'), 0o644); err != nil {
		return err
	}
	for file, values := range charts {
		content, err := yaml.Marshal(values)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.out, file), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
