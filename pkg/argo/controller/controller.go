package controller

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// program is the name of the container, of the program or of the image that marks a
// controller.
const program = "workflow-controller"

// Flags of workflow-controller. It takes each from its environment, too, if it is not
// on the command line.
const (
	flagExecutor  = "executor-image"
	flagConfigMap = "configmap"
)

// environment names the variable of each flag.
var environment = map[string]string{"ARGO_EXECUTOR_IMAGE": flagExecutor, "ARGO_CONFIGMAP": flagConfigMap}

// Controller is what a pod's specification says about one.
type Controller struct {
	// Account is the name of the ServiceAccount that it runs as.
	Account string
	// ConfigMap is the name of the one that has its configuration.
	ConfigMap string

	given    string // the executor that it was started with, if it was with one
	fallback string // that of its own version, if its image's tag says which
}

// Of finds the controllers of a pod: none, as a rule, or one.
func Of(pod *corev1.PodSpec) []Controller {
	var all []Controller
	for _, c := range pod.Containers {
		command := ""
		if len(c.Command) > 0 {
			command = path.Base(c.Command[0])
		}
		name, tag := split(c.Image)
		if !slices.Contains([]string{c.Name, command, path.Base(name)}, program) {
			continue
		}
		flags := flagsOf(&c)
		found := Controller{Account: pod.ServiceAccountName, ConfigMap: flags[flagConfigMap], given: flags[flagExecutor]}
		if found.Account == "" {
			found.Account = "default"
		}
		if tag != "" {
			found.fallback = "quay.io/argoproj/argoexec:" + tag
		}
		all = append(all, found)
	}
	return all
}

var (
	digested = regexp.MustCompile(`@.*$`)
	tagged   = regexp.MustCompile(`:([^:/]+)$`)
)

// split gives the name of an image, without a digest, and its tag.
func split(image string) (name, tag string) {
	image = digested.ReplaceAllString(image, "")
	if m := tagged.FindStringSubmatchIndex(image); m != nil {
		return image[:m[0]], image[m[2]:m[3]]
	}
	return image, ""
}

func flagsOf(c *corev1.Container) map[string]string {
	flags := map[string]string{flagConfigMap: "workflow-controller-configmap"}
	for _, v := range c.Env {
		if flag, known := environment[v.Name]; known && v.Value != "" {
			flags[flag] = v.Value
		}
	}
	words := slices.Concat(c.Command, c.Args)
	for i, word := range words {
		for _, flag := range []string{flagExecutor, flagConfigMap} {
			if value, with := strings.CutPrefix(word, "--"+flag+"="); with {
				flags[flag] = value
			} else if word == "--"+flag && i+1 < len(words) {
				flags[flag] = words[i+1]
			}
		}
	}
	return flags
}

// Executor is what a controller makes init and wait of.
type Executor struct {
	// Image is its reference, exactly as pods name it: empty if nothing says which.
	Image string
	// Env are the variables with literal values, NAME=VALUE. Others differ from pod
	// to pod.
	Env []string
}

// configuration is the part of Argo's that is about its executor.
type configuration struct {
	Image string          `json:"image"`
	Env   []corev1.EnvVar `json:"env"`
}

// Executor is the one by the data of the controller's ConfigMap; nil if there is none.
// Argo takes the image from its flag, its environment, its configuration, its own
// version, in this order.
func (c Controller) Executor(data map[string]string) (Executor, error) {
	var settings configuration
	if whole := data["config"]; whole != "" {
		var all struct {
			Executor configuration `json:"executor"`
		}
		if err := yaml.Unmarshal([]byte(whole), &all); err != nil {
			return Executor{}, fmt.Errorf("configmap %s: config: %w", c.ConfigMap, err)
		}
		settings = all.Executor
	} else if err := yaml.Unmarshal([]byte(data["executor"]), &settings); err != nil {
		return Executor{}, fmt.Errorf("configmap %s: executor: %w", c.ConfigMap, err)
	}
	e := Executor{Image: c.given}
	for _, image := range []string{settings.Image, c.fallback} {
		if e.Image == "" {
			e.Image = image
		}
	}
	for _, v := range settings.Env {
		if v.ValueFrom == nil && v.Name != "" {
			e.Env = append(e.Env, v.Name+"="+v.Value)
		}
	}
	return e, nil
}

// PlainStores are the S3 endpoints, HOST or HOST:PORT in lower case, that Argo speaks to
// without TLS by the data of the controller's ConfigMap; none, or that of the cluster's
// own repository.
func (c Controller) PlainStores(data map[string]string) ([]string, error) {
	type repository struct {
		S3 struct {
			Endpoint string `json:"endpoint"`
			Insecure bool   `json:"insecure"`
		} `json:"s3"`
	}
	var r repository
	if whole := data["config"]; whole != "" {
		var all struct {
			Repository repository `json:"artifactRepository"`
		}
		if err := yaml.Unmarshal([]byte(whole), &all); err != nil {
			return nil, fmt.Errorf("configmap %s: config: %w", c.ConfigMap, err)
		}
		r = all.Repository
	} else if err := yaml.Unmarshal([]byte(data["artifactRepository"]), &r); err != nil {
		return nil, fmt.Errorf("configmap %s: artifactRepository: %w", c.ConfigMap, err)
	}
	if !r.S3.Insecure || r.S3.Endpoint == "" {
		return nil, nil
	}
	return []string{strings.ToLower(r.S3.Endpoint)}, nil
}

var nonroot = regexp.MustCompile(`-nonroot(:[^:/@]+)?(@.+)?$`)

// NamesUser says whether an image names 8737 as its user, as Argo's own of this name
// does.
func NamesUser(image string) bool { return nonroot.MatchString(image) }
