package controller

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestControllersAreFoundWhateverShapeTheyHave(t *testing.T) {
	settings := map[string]string{"executor": "image: exec:configured\nimagePullPolicy: Always\nenv: [{name: HTTPS_PROXY, value: \"http://p:1/?a=$b\"}, {name: SECRET, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: EMPTY}]\n"}
	for name, c := range map[string]struct {
		container string
		data      map[string]string
		account   string
		configMap string
		want      Executor
	}{
		"by its name": {`{name: workflow-controller, image: "registry.example.com:5000/x", args: ["--executor-image=registry.example.com:5000/exec@sha256:1", --loglevel, info]}`,
			nil, "default", "workflow-controller-configmap", Executor{Image: "registry.example.com:5000/exec@sha256:1"}},
		"by its image": {`{name: controller, image: "quay.io/argoproj/workflow-controller:v3.6.1@sha256:2"}`,
			nil, "default", "workflow-controller-configmap", Executor{Image: "quay.io/argoproj/argoexec:v3.6.1"}},
		"by its program": {`{name: c, image: "x:1", command: [/usr/bin/workflow-controller], args: [--configmap, settings]}`,
			settings, "default", "settings", Executor{Image: "exec:configured", Env: []string{"HTTPS_PROXY=http://p:1/?a=$b", "EMPTY="}}},
		"by its environment": {`{name: workflow-controller, image: "x:1", args: [--executor-image], env: [{name: ARGO_EXECUTOR_IMAGE, value: "exec:environment"}, {name: ARGO_CONFIGMAP, value: mine}]}`,
			settings, "default", "mine", Executor{Image: "exec:environment", Env: []string{"HTTPS_PROXY=http://p:1/?a=$b", "EMPTY="}}},
		"a flag before the environment": {`{name: workflow-controller, image: "x:1", args: [--executor-image, "exec:flag"], env: [{name: ARGO_EXECUTOR_IMAGE, value: "exec:environment"}]}`,
			settings, "default", "workflow-controller-configmap", Executor{Image: "exec:flag", Env: []string{"HTTPS_PROXY=http://p:1/?a=$b", "EMPTY="}}},
		"a configuration in one": {`{name: workflow-controller, image: "x:1"}`,
			map[string]string{"config": "executor: {image: \"exec:whole\", env: [{name: A, value: b}]}", "executor": "image: not-read"},
			"default", "workflow-controller-configmap", Executor{Image: "exec:whole", Env: []string{"A=b"}}},
		"nothing says which": {`{name: workflow-controller, image: "registry.example.com:5000/workflow-controller@sha256:3"}`,
			nil, "default", "workflow-controller-configmap", Executor{}},
	} {
		t.Run(name, func(t *testing.T) {
			var container corev1.Container
			if err := yaml.Unmarshal([]byte(c.container), &container); err != nil {
				t.Fatal(err)
			}
			all := Of(&corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy", Image: "proxy:1"}, container}})
			if len(all) != 1 || all[0].Account != c.account || all[0].ConfigMap != c.configMap {
				t.Fatalf("found %+v", all)
			}
			got, err := all[0].Executor(c.data)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsNoController(t *testing.T) {
	for _, c := range []corev1.Container{
		{Name: "argo-server", Image: "quay.io/argoproj/argocli:v3.6.1"},
		{Name: "c", Image: "example.com/workflow-controller/other:1"},
		{Name: "my-workflow-controller", Image: "x"},
	} {
		if all := Of(&corev1.PodSpec{Containers: []corev1.Container{c}}); len(all) != 0 {
			t.Errorf("%+v is one: %+v", c, all)
		}
	}
}

func TestAConfigurationThatCannotBeReadIsAnError(t *testing.T) {
	all := Of(&corev1.PodSpec{ServiceAccountName: "argo", Containers: []corev1.Container{{Name: "workflow-controller", Image: "x:1"}}})
	for _, data := range []map[string]string{{"executor": "- a"}, {"config": "["}, {"config": "executor: 1"}} {
		if e, err := all[0].Executor(data); err == nil {
			t.Errorf("%v: it is %+v", data, e)
		}
	}
}

func TestStoresThatArgoSpeaksToWithoutTLS(t *testing.T) {
	const plain, tls = "s3: {endpoint: \"S3.storage.svc:9000\", insecure: true, bucket: b}", "s3: {endpoint: \"s3.storage.svc:9000\"}"
	for name, c := range map[string]struct {
		data map[string]string
		want []string
		err  bool
	}{
		"none":                   {},
		"one":                    {data: map[string]string{"artifactRepository": plain}, want: []string{"s3.storage.svc:9000"}},
		"one with TLS":           {data: map[string]string{"artifactRepository": tls}},
		"of no endpoint":         {data: map[string]string{"artifactRepository": "s3: {insecure: true}"}},
		"of another kind":        {data: map[string]string{"artifactRepository": "gcs: {bucket: b}"}},
		"a configuration in one": {data: map[string]string{"config": "artifactRepository: {" + plain + "}", "artifactRepository": tls}, want: []string{"s3.storage.svc:9000"}},
		"one that is not read":   {data: map[string]string{"config": "executor: {}", "artifactRepository": plain}},
		"nonsense":               {data: map[string]string{"artifactRepository": "- a"}, err: true},
		"nonsense in one":        {data: map[string]string{"config": "artifactRepository: [1]"}, err: true},
		"insecure by a word":     {data: map[string]string{"artifactRepository": "s3: {endpoint: e, insecure: \"no\"}"}, err: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Controller{}.PlainStores(c.data)
			if !slices.Equal(got, c.want) || (err != nil) != c.err {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestImagesThatNameAUser(t *testing.T) {
	var got []string
	for _, image := range []string{"quay.io/argoproj/argoexec:v3.7.18", "a/argoexec-nonroot", "a:5/argoexec-nonroot:v4", "a/argoexec-nonroot@sha256:1", "a-nonroot/argoexec:1"} {
		if NamesUser(image) {
			got = append(got, image)
		}
	}
	if want := []string{"a/argoexec-nonroot", "a:5/argoexec-nonroot:v4", "a/argoexec-nonroot@sha256:1"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
