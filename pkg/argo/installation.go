package argo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Identity is what the operator says about their Argo.
type Identity struct {
	// Controllers are the user names of Argo's controllers, such as
	// system:serviceaccount:argo:argo.
	Controllers []string
	// ExecutorImages are the image references init and wait may run, exactly as
	// Argo writes them into pods.
	ExecutorImages []string
	// ExecutorEnv are the variables that Argo's configuration gives to init and
	// wait, exactly as Argo writes them into pods: NAME=VALUE.
	ExecutorEnv []string
	// Additions are what the operator's own webhooks add to them, to the containers of
	// auxiliary pods, and to ours.
	Additions Additions
	// ExecutorUsers are the numeric users that executor images name for
	// themselves, by image; one that is missing names root.
	ExecutorUsers map[string]int64
	// PlainStores are the S3 endpoints, HOST or HOST:PORT in lower case, that Argo's
	// configuration speaks to without TLS.
	PlainStores []string
}

// Executor is what the operator says about one executor image, the one that a pod
// runs.
type Executor struct {
	// Image is the reference exactly as the pod names it.
	Image string
	// Env are the variables of Argo's configuration: NAME=VALUE.
	Env []string
	// User is the one that the image names for itself; nil: root.
	User *int64
}

// Executor gives what the operator says about a pod's executor. Of the variables it
// has only those that the pod has. An executor that the operator does not name has
// no image.
func (id Identity) Executor(pod *corev1.Pod) Executor {
	var e Executor
	given := map[string]bool{}
	longest := 0 // a template need not be copied to see that it is none of these
	for _, v := range id.ExecutorEnv {
		longest = max(longest, len(v))
	}
	for c := range containersOf(pod) {
		if c.Name != layout.ContainerInit && c.Name != layout.ContainerWait {
			continue
		}
		if c.Name == layout.ContainerInit && slices.Contains(id.ExecutorImages, c.Image) {
			e.Image = c.Image
		}
		for _, v := range c.Env {
			if len(v.Name)+len("=")+len(v.Value) <= longest {
				given[v.Name+"="+v.Value] = v.ValueFrom == nil
			}
		}
	}
	for _, v := range id.ExecutorEnv {
		if given[v] {
			e.Env = append(e.Env, v)
		}
	}
	if user, found := id.ExecutorUsers[e.Image]; found {
		e.User = &user
	}
	return e
}

// Equal says whether two executors are the same.
func (e Executor) Equal(other Executor) bool {
	return e.Image == other.Image && slices.Equal(e.Env, other.Env) &&
		(e.User == nil) == (other.User == nil) && (e.User == nil || *e.User == *other.User)
}

// Identity is that of an installation in which one creator and one executor are
// all there is: what was trusted when the creator's pod was admitted.
func (e Executor) Identity(creator string) Identity {
	id := Identity{Controllers: []string{creator}, ExecutorImages: []string{e.Image}, ExecutorEnv: e.Env}
	if e.User != nil {
		id.ExecutorUsers = map[string]int64{e.Image: *e.User}
	}
	return id
}

// NewIdentity reads what the operator says: controllers as
// NAMESPACE/SERVICEACCOUNT and images, one of each at least unless more become known
// later, variables as NAME=VALUE, users as IMAGE=USER, and additions as ParseAdditions
// does.
func NewIdentity(controllers, executorImages, executorEnv, executorUsers, additions []string, more bool) (Identity, error) {
	if !more && (len(controllers) == 0 || len(executorImages) == 0) || slices.Contains(executorImages, "") {
		return Identity{}, errors.New("want a controller and an executor image, at least")
	}
	id := Identity{ExecutorImages: executorImages, ExecutorEnv: executorEnv}
	var err error
	if id.Additions, err = ParseAdditions(additions); err != nil {
		return Identity{}, err
	}
	for _, c := range controllers {
		namespace, account, ok := strings.Cut(c, "/")
		if !ok || namespace == "" || account == "" || strings.Contains(account, "/") {
			return Identity{}, fmt.Errorf("controller %q is not NAMESPACE/SERVICEACCOUNT", c)
		}
		id.Controllers = append(id.Controllers, "system:serviceaccount:"+namespace+":"+account)
	}
	for _, v := range executorEnv {
		if strings.Index(v, "=") < 1 {
			return Identity{}, fmt.Errorf("variable %q is not NAME=VALUE", v)
		}
	}
	for _, text := range executorUsers {
		i := strings.LastIndex(text, "=")
		user, err := strconv.ParseInt(text[i+1:], 10, 64)
		if i < 1 || err != nil || user < 0 || user > maxUser {
			return Identity{}, fmt.Errorf("user %q is not IMAGE=USER, the user being a number", text)
		}
		image := text[:i]
		if _, twice := id.ExecutorUsers[image]; twice || !more && !slices.Contains(executorImages, image) {
			return Identity{}, fmt.Errorf("user %q is for no executor image, or the second for one", text)
		}
		if id.ExecutorUsers == nil {
			id.ExecutorUsers = map[string]int64{}
		}
		id.ExecutorUsers[image] = user
	}
	return id, nil
}

// maxUser is the largest user that Kubernetes takes in runAsUser.
const maxUser = math.MaxInt32
