package part

import (
	"fmt"
	"os"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// Volumes is how many persistent volumes there are, 1 GiB each.
const Volumes = 8

// StorageClass is the default one.
const StorageClass = "local"

// recyclerPod empties a volume whose claim is gone, so that the next claim
// gets it clean and without anybody's help. The controller manager fills in
// the path. busybox is a stand-in that every cluster here has loaded.
const recyclerPod = `apiVersion: v1
kind: Pod
metadata: {name: pv-recycler, namespace: default}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  volumes:
  - name: vol
    hostPath: {path: /any/path/it/will/be/replaced}
  containers:
  - name: recycler
    image: docker.io/library/busybox:latest
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "rm -rf /scrub/* /scrub/.[!.]* /scrub/..?*; test -z \"$(ls -A /scrub)\""]
    volumeMounts:
    - {name: vol, mountPath: /scrub}
`

// Storage makes the folders behind the volumes and returns the objects.
func Storage(l layout.Layout) (string, error) {
	docs := []string{`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: ` + StorageClass + `
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
reclaimPolicy: Retain
volumeBindingMode: Immediate
`}
	for n := range Volumes {
		name := fmt.Sprintf("local-%d", n)
		dir := l.Path("volumes", name)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return "", err
		}
		// The kubelet does not hand hostPath volumes to a pod's user.
		if err := os.Chmod(dir, 0o777); err != nil {
			return "", err
		}
		docs = append(docs, `apiVersion: v1
kind: PersistentVolume
metadata: {name: `+name+`}
spec:
  storageClassName: `+StorageClass+`
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Recycle
  hostPath: {path: `+dir+`}
`)
	}
	return strings.Join(docs, "---\n"), nil
}
