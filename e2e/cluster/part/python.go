package part

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/image"
)

// pythonPath is where Debian's package python3 puts its program.
const pythonPath = "/usr/bin/python3"

// pythonFiles lists what a Python that has imported what Argo's examples import
// has loaded, libraries included, and itself last.
const pythonFiles = `
import encodings.ascii, encodings.latin_1, encodings.utf_8, json, os, random, re, sys, time
files = {m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
for line in open("/proc/self/maps"):
    name = line.split()[-1]
    if name.startswith("/") and ".so" in name:
        files.add(name)
print("\n".join(sorted(files - {os.path.realpath(sys.executable)}) + [os.path.realpath(sys.executable)]))
`

// pythonLayer is a Python of this machine with a part of its library.
func pythonLayer(ctx context.Context) ([]image.File, error) {
	// -I and -S: neither this user's settings nor what is installed beside.
	out, err := exec.CommandContext(ctx, pythonPath, "-I", "-S", "-c", pythonFiles).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pythonPath, err)
	}
	names := strings.Fields(string(out))
	if len(names) == 0 {
		return nil, fmt.Errorf("%s does not say what it is made of", pythonPath)
	}
	program := names[len(names)-1]
	files := []image.File{{Path: "/bin/python", Link: program}, {Path: "/bin/python3", Link: program}}
	for _, name := range names {
		files = append(files, image.File{Path: name, From: name})
		for _, other := range otherNames(name) {
			files = append(files, image.File{Path: other, Link: name})
		}
	}
	return files, nil
}

// otherNames are the names by which programs ask for a library: with a shorter
// version, and the linker in the folder of old.
func otherNames(name string) []string {
	var others []string
	dir, base := path.Split(name)
	if strings.HasPrefix(base, "ld-linux") {
		return []string{"/lib64/" + base, "/lib/" + base}
	}
	stem, version, found := strings.Cut(base, ".so.")
	for found {
		i := strings.LastIndexByte(version, '.')
		if i < 0 {
			break
		}
		version = version[:i]
		others = append(others, dir+stem+".so."+version)
	}
	return others
}
