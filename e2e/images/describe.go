package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/image"
)

// describe writes digests.json, which maps an image's name to its reference by
// digest, and values.yaml, which makes the chart use these images.
func (b *builder) describe(images []*image.Image) error {
	digests := map[string]string{}
	values := map[string]any{}
	for n, p := range programs {
		digests[p.name] = images[n].Ref()
		values[p.value] = map[string]any{"image": map[string]string{
			"repository": images[n].Spec.Name,
			"digest":     images[n].Digest,
		}}
		fmt.Println(images[n].Ref())
	}
	digestsJSON, err := json.MarshalIndent(digests, "", "  ")
	if err != nil {
		return err
	}
	valuesYAML, err := yaml.Marshal(values)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(b.out, "digests.json"), append(digestsJSON, '\n'), 0o644),
		os.WriteFile(filepath.Join(b.out, "values.yaml"), valuesYAML, 0o644),
	)
}
