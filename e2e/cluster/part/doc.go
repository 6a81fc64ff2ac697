// Package part describes what the development cluster is made of, one file a
// part: its module and version, how it is built, started, probed and stopped.
//
// Parts that run as processes of this machine are a [Host]: etcd, the four
// control plane programs, containerd, kubelet and kube-proxy. Parts that run
// in the cluster are a [Workload]: CoreDNS, the S3 store and Argo's
// controller. What nobody runs, such as helm or cosign, is a recipe only.
//
// Other test code comes here for [Path] (a program), [ModuleDir] (the sources
// of a part, such as Argo's examples) and [Load] (images into the cluster).
package part
