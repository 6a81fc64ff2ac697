package argo_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// identity is what a cloud's webhook adds to a pod.
type identity struct {
	volume string
	token  corev1.ServiceAccountTokenProjection
	at     string
	env    map[string]string
}

var identities = map[string]identity{
	"IRSA": {"aws-iam-token", corev1.ServiceAccountTokenProjection{Audience: "sts.amazonaws.com", Path: "token"}, "/var/run/secrets/eks.amazonaws.com/serviceaccount", map[string]string{
		"AWS_STS_REGIONAL_ENDPOINTS": "regional", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-1",
		"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/team/a", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
	}},
	"EKS Pod Identity": {"eks-pod-identity-token", corev1.ServiceAccountTokenProjection{Audience: "pods.eks.amazonaws.com", Path: "eks-pod-identity-token"}, "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount", map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
	}},
	"Azure": {"azure-identity-token", corev1.ServiceAccountTokenProjection{Audience: "api://AzureADTokenExchange", Path: "azure-identity-token"}, "/var/run/secrets/azure/tokens", map[string]string{
		"AZURE_CLIENT_ID": "11111111-2222-4333-8444-555555555555", "AZURE_TENANT_ID": "11111111-2222-4333-8444-555555555555",
		"AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token", "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
	}},
}

// give adds an identity to all of a pod's containers, as the webhooks do.
func (id identity) give(pod *corev1.Pod) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: id.volume, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: id.token.DeepCopy()}}},
	}})
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for name, value := range id.env {
				list[i].Env = append(list[i].Env, corev1.EnvVar{Name: name, Value: value})
			}
			list[i].VolumeMounts = append(list[i].VolumeMounts, corev1.VolumeMount{Name: id.volume, MountPath: id.at, ReadOnly: true})
		}
	}
}

// A cloud's identity is in every container, ours too where its webhook is called
// after ours.
func TestIdentitiesOfCloudsAreAdmitted(t *testing.T) {
	config := sidecar.Config{Image: "x@sha256:" + strings.Repeat("a", 64)}
	for name, cloud := range identities {
		t.Run(name, func(t *testing.T) {
			before, step := argotest.Parsed(t, "everything")
			cloud.give(before)
			out, err := sidecar.Add(before, step, nil, config)
			if err != nil {
				t.Fatal(err)
			}
			after, err := sidecar.Add(argotest.Pod(t, "everything"), step, nil, config)
			if err != nil {
				t.Fatal(err)
			}
			cloud.give(after)
			for when, pod := range map[string]*corev1.Pod{"before ours": out, "after ours": after} {
				if pod.Annotations == nil {
					pod.Annotations = map[string]string{}
				}
				pod.Annotations[layout.AnnotationKillWait] = layout.KillWait
				if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
					t.Errorf("%s: %v", when, err)
				}
				if err := sidecar.Check(pod, step, nil, config); err != nil {
					t.Errorf("%s: %v", when, err)
				}
			}
			for _, kind := range []string{"artifact-gc", "agent"} {
				pod := argotest.Pod(t, kind)
				cloud.give(pod)
				if err := argo.CheckAuxiliary(pod, argotest.Identity().Controllers[0], argotest.Identity()); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
				pod.Spec.Volumes[len(pod.Spec.Volumes)-1].Projected.Sources[0].ServiceAccountToken.Audience = "another"
				if err := argo.CheckAuxiliary(pod, argotest.Identity().Controllers[0], argotest.Identity()); reason.Of(err) != reason.AuxiliaryAltered {
					t.Errorf("%s with a token for another: %v", kind, err)
				}
			}
		})
	}
}

// What only resembles an identity could be anything.
func TestWhatResemblesAnIdentityIsRefused(t *testing.T) {
	volume := func(p *corev1.Pod) *corev1.Volume { return &p.Spec.Volumes[len(p.Spec.Volumes)-1] }
	mount := func(p *corev1.Pod) *corev1.VolumeMount {
		m := waitOf(p).VolumeMounts
		return &m[len(m)-1]
	}
	set := func(name, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { env(waitOf(p), name).Value = value }
	}
	for name, change := range map[string]func(*corev1.Pod){
		"a token for another": func(p *corev1.Pod) {
			volume(p).Projected.Sources[0].ServiceAccountToken.Audience = "https://kubernetes.default.svc"
		},
		"under another name": func(p *corev1.Pod) { volume(p).Projected.Sources[0].ServiceAccountToken.Path = "config" },
		"more beside it": func(p *corev1.Pod) {
			volume(p).Projected.Sources = append(volume(p).Projected.Sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{}})
		},
		"more in one": func(p *corev1.Pod) { volume(p).Projected.Sources[0].ConfigMap = &corev1.ConfigMapProjection{} },
		"no token": func(p *corev1.Pod) {
			volume(p).Projected.Sources[0] = corev1.VolumeProjection{Secret: &corev1.SecretProjection{}}
		},
		"a secret": func(p *corev1.Pod) {
			volume(p).VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}
		},
		"elsewhere":               func(p *corev1.Pod) { mount(p).MountPath = "/root/.aws" },
		"one file":                func(p *corev1.Pod) { mount(p).SubPath = "token" },
		"writable":                func(p *corev1.Pod) { mount(p).ReadOnly = false },
		"a role of another form":  set("AWS_ROLE_ARN", "evil"),
		"a token from elsewhere":  set("AWS_WEB_IDENTITY_TOKEN_FILE", "/tmp/token"),
		"a region that is a host": set("AWS_REGION", "evil.example/#"),
		"a variable from a field": func(p *corev1.Pod) { env(waitOf(p), "AWS_ROLE_ARN").ValueFrom = &corev1.EnvVarSource{} },
		"a file of settings":      func(p *corev1.Pod) { env(waitOf(p), "AWS_ROLE_ARN").Name = "AWS_CONFIG_FILE" },
	} {
		pod, step := argotest.Parsed(t, "everything")
		identities["IRSA"].give(pod)
		change(pod)
		if err := argo.CheckStructure(pod, step, argotest.Identity()); reason.Of(err) != reason.WaitAltered && reason.Of(err) != reason.InitAltered {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Which server a cloud's client asks, and whose credentials it shows, variables can
// change; only those of Argo's own configuration may.
func TestWhichServerOfACloudIsAskedOnlyArgosConfigurationSays(t *testing.T) {
	for name, value := range map[string]string{
		"STORAGE_EMULATOR_HOST": "http://evil.example", "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "evil.example", "GCE_METADATA_HOST": "evil.example",
		"GOOGLE_APPLICATION_CREDENTIALS": "/mainctrfs/scratch/key.json", "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true", "GOOGLE_API_GO_EXPERIMENTAL_DISABLE_NEW_AUTH_LIB": "true",
		"AZURE_AUTHORITY_HOST": "https://login.evil.example/", "AZURE_FEDERATED_TOKEN_FILE": "/mainctrfs/scratch/token", "AZURE_CLIENT_CERTIFICATE_PATH": "/mainctrfs/scratch/key",
		"AZURE_CLIENT_SECRET": "x", "AZURE_USERNAME": "x", "IDENTITY_ENDPOINT": "http://evil.example", "MSI_ENDPOINT": "http://evil.example",
	} {
		for container, of := range map[string]func(*corev1.Pod) *corev1.Container{"init": initOf, "wait": waitOf} {
			pod, step := argotest.Parsed(t, "everything")
			of(pod).Env = append(of(pod).Env, corev1.EnvVar{Name: name, Value: value})
			err := argo.CheckStructure(pod, step, argotest.Identity())
			if code := reason.Of(err); code != reason.WaitAltered && code != reason.InitAltered || !strings.Contains(err.Error(), name) {
				t.Errorf("%s in %s: %v", name, container, err)
			}
			id := argotest.Identity()
			id.ExecutorEnv = append(id.ExecutorEnv, name+"="+value)
			if err := argo.CheckStructure(pod, step, id); err != nil {
				t.Errorf("%s in %s, as Argo's configuration has it: %v", name, container, err)
			}
		}
	}
}
