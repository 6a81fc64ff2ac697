package argo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
}

// NewIdentity reads what the operator says: controllers as
// NAMESPACE/SERVICEACCOUNT and images, one of each at least, and variables as
// NAME=VALUE.
func NewIdentity(controllers, executorImages, executorEnv []string) (Identity, error) {
	if len(controllers) == 0 || len(executorImages) == 0 || slices.Contains(executorImages, "") {
		return Identity{}, errors.New("want a controller and an executor image, at least")
	}
	id := Identity{ExecutorImages: executorImages, ExecutorEnv: executorEnv}
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
	return id, nil
}
