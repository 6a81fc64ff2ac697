package argo

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// addition is something that the operator's own webhooks add to Argo's containers, and
// to ours: a variable, with this value or any, or a mount of a volume of that name.
type addition struct {
	text            string
	variable, value string
	anyValue        bool
	mount           corev1.VolumeMount
}

// How the operator writes one: variable:NAME=VALUE, variable:NAME for any value,
// mount:VOLUME:PATH, and mount:VOLUME:PATH:ro for one that is read-only.
const (
	addsVariablePrefix = "variable:"
	addsMountPrefix    = "mount:"
	addsReadOnly       = ":ro"
)

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	volumeName   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// maxAddition bounds one, in bytes.
const maxAddition = 1 << 10

// parseAddition reads one, and refuses what nobody may add: it would run another program
// than argoexec, or one of ours, or change what is measured and checked.
func parseAddition(text string) (addition, error) {
	refused := func(why string) (addition, error) {
		return addition{}, fmt.Errorf("addition %.200q %s", text, why)
	}
	if len(text) > maxAddition {
		return refused("is too long")
	}
	if rest, ok := strings.CutPrefix(text, addsVariablePrefix); ok {
		name, value, literal := strings.Cut(rest, "=")
		switch {
		case !variableName.MatchString(name):
			return refused("names no variable")
		case reservedVariable(name):
			return refused("is about a variable that can change which program runs, what Argo's does, or where it reads and writes")
		case steers(name) && !literal:
			return refused("is about a variable by which requests go another way: give its value, or anybody chooses it")
		case strings.HasPrefix(name, certVariables) && slices.ContainsFunc(strings.Split(value, ":"), func(p string) bool {
			return !cleanPath(p) || reservedPath(p)
		}):
			return refused("leads to no clean absolute path, or to one at which programs or their settings lie, or what Argo and Argoseal keep")
		}
		return addition{text: text, variable: name, value: value, anyValue: !literal}, nil
	}
	rest, ok := strings.CutPrefix(text, addsMountPrefix)
	if !ok {
		return refused("is neither variable:NAME[=VALUE] nor mount:VOLUME:PATH[:ro]")
	}
	rest, readOnly := strings.CutSuffix(rest, addsReadOnly)
	volume, at, _ := strings.Cut(rest, ":")
	switch {
	case !volumeName.MatchString(volume), sharedVolume(volume), strings.HasPrefix(volume, ReservedPrefix):
		return refused("names no volume, or one of Argo's or ours")
	case !cleanPath(at):
		return refused("has no clean absolute path")
	case reservedPath(at):
		return refused("is about a path at which programs or their settings lie, or what Argo and Argoseal keep")
	}
	return addition{text: text, mount: corev1.VolumeMount{Name: volume, MountPath: at, ReadOnly: readOnly}}, nil
}

// reservedVariables are the beginnings of names that no operator may add. They are
// Argo's own variables, and those that say where a program finds others, which
// settings it has, or whom it asks. Of the clouds all are reserved: isCloudVariable
// knows the few that their webhooks give, and any other may change whom a client
// asks, or name a file or program.
var reservedVariables = []string{
	"ARGO_", "REMOVE_LOCAL_ART_PATH",
	// The kernel's loader, the C library, Go (GODEBUG, GOFIPS).
	"PATH", "HOME", "TMPDIR", "LD_", "GLIBC_", "GCONV_", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "GO",
	// client-go.
	"KUBE",
	// aws-sdk-go-v2 (config/env_config.go: AWS_CONFIG_FILE, AWS_ENDPOINT_URL_S3 and so on)
	// and minio-go (pkg/credentials).
	"AWS_", "MINIO_", "MC_",
	// cloud.google.com/go/storage, golang.org/x/oauth2/google, grpc-go.
	"BOTO_", "CLOUDSDK_", "GCE_", "GCLOUD_", "GRPC_", "STORAGE_EMULATOR_HOST",
	// azure-sdk-for-go (azidentity/managed_identity_client.go).
	"ARM_", "AZURE_", "IDENTITY_", "IMDS_", "MSI_",
	// aliyun/credentials-go, colinmarc/hdfs, gokrb5.
	"ALIBABA_", "ALICLOUD_", "ALIYUN_", "HADOOP_", "KRB5", "OSS_",
	// go-git and git: other settings, other servers, other hosts' keys.
	"CURL_", "GIT_", "SSH_", "XDG_",
}

// reservedVariable says whether a variable may not be added.
func reservedVariable(name string) bool {
	return slices.ContainsFunc(reservedVariables, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// steers says whether a variable sets the proxy for requests, or whose certificates
// count. Operators need such variables (compare docs/threats.md), but each has to
// have one fixed value.
func steers(name string) bool {
	return slices.Contains(proxyVariables, name) || strings.HasPrefix(name, certVariables)
}

// certVariables begins SSL_CERT_FILE and SSL_CERT_DIR, which say where Go finds
// certificates.
const certVariables = "SSL_CERT_"

// reservedPaths are paths at which nothing may be mounted, nor above or below them.
// They have programs, what the runtime gives, settings of client libraries, and the
// folders of Argo and of ours. The rest of /etc is free, because certificates lie
// there.
var reservedPaths = []string{
	"/argo", "/argoseal", "/argoseal-signer", "/bin", "/dev", "/home", "/lib", "/lib64", layout.PathMainFiles, "/proc", "/root", "/sbin", "/sys",
	layout.PathTmp, "/run/argo", "/run/secrets/kubernetes.io", "/usr/bin", "/usr/lib", "/usr/libexec", "/usr/local/bin", "/usr/local/sbin", "/usr/sbin", layout.PathRun, layout.PathToken, "/var/tmp",
	"/etc/group", "/etc/gitconfig", "/etc/host.conf", "/etc/hosts", "/etc/krb5.conf", "/etc/krb5.conf.d", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/ld.so.preload", "/etc/nsswitch.conf", "/etc/passwd", "/etc/resolv.conf", "/etc/ssh",
}

func cleanPath(at string) bool {
	return path.IsAbs(at) && at == path.Clean(at) && !strings.ContainsAny(at, ":$")
}

// reservedPath says whether nothing may be mounted at a path, and nothing there be
// trusted. That includes folders whose names begin with a dot: they have settings.
// At the root, too: the root is the home of a user whom the image does not know.
func reservedPath(at string) bool {
	return slices.ContainsFunc(reservedPaths, func(p string) bool { return overlap(p, at) }) || strings.Contains(at, "/.")
}

// is says whether the operator has named this variable, with this value.
func (a addition) is(v corev1.EnvVar) bool {
	return a.variable != "" && a.variable == v.Name && v.ValueFrom == nil && (a.anyValue || a.value == v.Value)
}

// mounts says whether the operator has named this mount.
func (a addition) mounts(m corev1.VolumeMount) bool {
	return a.variable == "" && equality.Semantic.DeepEqual(a.mount, m)
}

// stated is how a statement names it: without the value, which may be a secret.
func (a addition) stated() string {
	if a.variable != "" {
		return addsVariablePrefix + a.variable
	}
	text := addsMountPrefix + a.mount.Name + ":" + a.mount.MountPath
	if a.mount.ReadOnly {
		text += addsReadOnly
	}
	return text
}

// Additions are what the operator's own webhooks may add to Argo's containers and to
// ours. The zero value is nothing.
type Additions struct{ list []addition }

// ParseAdditions reads what the operator says.
func ParseAdditions(texts []string) (Additions, error) {
	var all Additions
	for _, text := range texts {
		a, err := parseAddition(text)
		if err != nil {
			return Additions{}, err
		}
		all.list = append(all.list, a)
	}
	return all, nil
}

// Texts are the additions as the operator wrote them.
func (all Additions) Texts() []string {
	var texts []string
	for _, a := range all.list {
		texts = append(texts, a.text)
	}
	return texts
}

func (all Additions) variable(v corev1.EnvVar) bool {
	return slices.ContainsFunc(all.list, func(a addition) bool { return a.is(v) })
}

func (all Additions) mount(m corev1.VolumeMount) bool {
	return slices.ContainsFunc(all.list, func(a addition) bool { return a.mounts(m) })
}

// Without is a container without what was added to it.
func (all Additions) Without(c corev1.Container) corev1.Container {
	c.Env = slices.DeleteFunc(slices.Clone(c.Env), all.variable)
	c.VolumeMounts = slices.DeleteFunc(slices.Clone(c.VolumeMounts), all.mount)
	return c
}

// Of lists which additions a pod has, in Argo's containers and in ours: sorted, and
// spelled as statements do.
func (all Additions) Of(pod *corev1.Pod) []string {
	var found []string
	for c := range containersOf(pod) {
		if c.Name != layout.ContainerInit && c.Name != layout.ContainerWait && !strings.HasPrefix(c.Name, ReservedPrefix) {
			continue
		}
		for _, a := range all.list {
			if slices.ContainsFunc(c.Env, a.is) || slices.ContainsFunc(c.VolumeMounts, a.mounts) {
				found = append(found, a.stated())
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
