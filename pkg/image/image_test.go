package image

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/artifact"
)

var (
	digest = strings.Repeat("a", 64)
	pinned = "@sha256:" + digest
)

// What is one place has one name, however it is spelled.
func TestTwoSpellingsOfAnImageAreOneName(t *testing.T) {
	for text, want := range map[string]string{
		"nginx":                                  "docker.io/library/nginx",
		"nginx:1.29":                             "docker.io/library/nginx",
		"docker.io/nginx":                        "docker.io/library/nginx",
		"Docker.IO/nginx":                        "docker.io/library/nginx",
		"index.docker.io/library/nginx":          "docker.io/library/nginx",
		"registry-1.docker.io/nginx":             "docker.io/library/nginx",
		"docker.io:443/nginx":                    "docker.io/library/nginx",
		"team/app":                               "docker.io/team/app",
		"localhost/app":                          "localhost/app",
		"registry.example.com/app":               "registry.example.com/app",
		"REGISTRY.example.com/team/app:v1":       "registry.example.com/team/app",
		"registry.example.com:443/team/app":      "registry.example.com/team/app",
		"registry.example.com:0443/team/app":     "registry.example.com/team/app",
		"registry.example.com:05000/team/app":    "registry.example.com:5000/team/app",
		"registry.example.com:5000/team/app:v1":  "registry.example.com:5000/team/app",
		"registry:443/app":                       "registry:443/app",
		"[fd00::1]:5000/app":                     "[fd00::1]:5000/app",
		"EVIL/app":                               "evil/app",
		"registry.example.com/team/app" + pinned: "registry.example.com/team/app",
	} {
		i, err := Parse(text)
		if err != nil || i.Name != want {
			t.Errorf("%s is %q (%v), want %q", text, i.Name, err, want)
		}
	}
}

func TestDigestsAreTakenAsTheyAre(t *testing.T) {
	for text, want := range map[string]artifact.Digest{
		"nginx":                  "",
		"nginx" + pinned:         artifact.Digest(digest),
		"nginx:1.29" + pinned:    artifact.Digest(digest),
		"nginx:sha256-" + digest: "",
	} {
		i, err := Parse(text)
		if err != nil || i.Digest != want {
			t.Errorf("%s has digest %q (%v), want %q", text, i.Digest, err, want)
		}
	}
	for _, id := range []string{"sha256:" + digest, "sha256:" + digest[:12], "sha512:" + digest, "SHA256:" + digest} {
		if i, err := Parse(id); err == nil {
			t.Errorf("%s may be any image of a node, and is %s", id, i)
		}
	}
	if i, err := Parse("nginx@sha512:" + digest + digest); err == nil && i.Digest != "" {
		t.Errorf("a SHA-512 is taken for %s", i.Digest)
	}
	for _, text := range []string{
		"", digest, "nginx@sha256:" + digest[1:], "nginx@sha256:" + strings.ToUpper(digest), "nginx" + pinned + pinned, "nginx@", "@sha256:" + digest,
		"Nginx", "a//b", "/nginx", "nginx ", "nginx\n", "https://registry.example.com/app", "registry.example.com./app", "a/../b", "über/app",
		strings.Repeat("a", maxReference+1),
	} {
		if i, err := Parse(text); err == nil {
			t.Errorf("%.80q is taken for %+v", text, i)
		}
	}
}

func TestPatternsThatMatchNothingAreNone(t *testing.T) {
	for _, pattern := range []string{
		"**", "docker.io/**", "docker.io/library/*", "docker.io/library/nginx", "registry.example.com/*", "registry.example.com:5000/team/**", "localhost/app",
	} {
		if err := CheckPattern(pattern); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	for _, pattern := range []string{
		"", "*", "***", "nginx", "team/**", "docker.io/nginx", "docker.io/*", "index.docker.io/**", "registry-1.docker.io/**", "Registry.example.com/**",
		"registry.example.com:443/**", "*.example.com/**", "registry.example.com/", "registry.example.com", "registry.example.com/app:v1",
		"registry.example.com/app" + pinned, "registry.example.com/App", "registry.example.com/a?b",
	} {
		if CheckPattern(pattern) == nil {
			t.Errorf("%q is a pattern", pattern)
		}
	}
}

// TestAllImagesOfAPodAreSeen fills each field of a pod's spec that can name an image, as
// this version of Kubernetes has them, and wants to see it: a new one is noticed.
func TestAllImagesOfAPodAreSeen(t *testing.T) {
	pod := &corev1.Pod{}
	n := fill(reflect.ValueOf(&pod.Spec).Elem(), "")
	uses := Of(pod)
	if n != 4 || len(uses) != n {
		t.Errorf("%d fields name an image, seen are %+v", n, uses)
	}
	for _, u := range uses {
		if u.Reference != "here" || u.Where == "" {
			t.Errorf("seen is %+v", u)
		}
	}
}

// fill sets fields called Image, and the Reference of an image volume, to "here", in one
// element of each list below the value, and counts them.
func fill(v reflect.Value, name string) int {
	n := 0
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() {
				n += fill(v.Field(i), f.Name)
			}
		}
		if v.Type() == reflect.TypeFor[corev1.ImageVolumeSource]() {
			v.FieldByName("Reference").SetString("here")
			n++
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Struct {
			one := reflect.New(v.Type().Elem())
			if n = fill(one.Elem(), ""); n > 0 {
				v.Set(one)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			one := reflect.New(v.Type().Elem()).Elem()
			if n = fill(one, ""); n > 0 {
				v.Set(reflect.Append(v, one))
			}
		}
	case reflect.String:
		if name == "Image" && v.Type() == reflect.TypeFor[string]() && v.CanSet() {
			v.SetString("here")
			n++
		}
	}
	return n
}

func TestOnlyWhatIsNewIsAdded(t *testing.T) {
	old := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", Image: "a"}}, Containers: []corev1.Container{{Name: "main", Image: "b"}, {Name: "side", Image: "c"}},
	}}
	if n := len(Added(nil, old)); n != 3 {
		t.Errorf("a new pod adds %d images", n)
	}
	if added := Added(old, old.DeepCopy()); len(added) != 0 {
		t.Errorf("nothing changed, and %+v is added", added)
	}
	changed := old.DeepCopy()
	changed.Spec.Containers[0].Image = "c"
	changed.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "d"}}}
	want := []Use{{"container main", "c"}, {"ephemeral container debug", "d"}}
	if added := Added(old, changed); !slices.Equal(added, want) {
		t.Errorf("added are %+v, want %+v", added, want)
	}
}

// FuzzParse: whatever is read has a digest of ours or none, and its own spelling is read as
// the same image.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"nginx", "registry.example.com:443/a/b:c" + pinned, "Docker.IO/x", "[::1]:5000/x", "a:b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i, err := Parse(text)
		if err != nil {
			return
		}
		if !strings.Contains(i.Name, "/") || strings.ContainsAny(i.Name, "@ ") {
			t.Fatalf("%q has the name %q", text, i.Name)
		}
		if _, err := artifact.ParseDigest(string(i.Digest)); i.Digest != "" && err != nil {
			t.Fatal(err)
		}
		if host, _, _ := strings.Cut(i.Name, "/"); !isHost(host) {
			return // one that is known to be a registry by its capital letters alone
		}
		if again, err := Parse(i.String()); err != nil || again != i {
			t.Fatalf("%q is %+v, and that is %+v (%v)", text, i, again, err)
		}
	})
}
