package part

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// etcdRecipe builds the store of the API server. The module is the main
// package; its sibling modules are taken as published.
var etcdRecipe = gobuild.Recipe{
	Name:    "etcd",
	Module:  "go.etcd.io/etcd/server/v3",
	Version: "v3.6.12",
	Sum:     "h1:PAcIHCcTjPM1sbePiu7fCzNKQvOBFEaGnu2JFhgaGJQ=",
	DropReplace: []string{
		"go.etcd.io/etcd/api/v3",
		"go.etcd.io/etcd/client/pkg/v3",
		"go.etcd.io/etcd/client/v3",
		"go.etcd.io/etcd/pkg/v3",
	},
	Sums:    etcdSums,
	Targets: []gobuild.Target{{Name: "etcd", Package: "."}},
}

// etcdSums are the go.sum lines of the sibling modules.
//
//go:embed etcd.sum
var etcdSums string

// etcd listens on loopback only and asks every client for a certificate: who
// can read it can read every Secret.
var etcd = Host{
	Name:   "etcd",
	Recipe: etcdRecipe,
	Leaves: []pki.Leaf{
		{Name: "etcd", CommonName: "etcd", Hosts: []string{"127.0.0.1", "localhost"}},
		{Name: "etcd-client", CommonName: "kube-apiserver"},
	},
	Args: func(l layout.Layout) []string {
		peer := fmt.Sprintf("https://127.0.0.1:%d", layout.EtcdPeerPort)
		return []string{
			"--name=argoseal",
			"--data-dir=" + l.Path("etcd"),
			"--listen-client-urls=" + l.EtcdURL(),
			"--advertise-client-urls=" + l.EtcdURL(),
			"--listen-peer-urls=" + peer,
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=argoseal=" + peer,
			"--client-cert-auth=true",
			"--trusted-ca-file=" + l.PKI("ca.crt"),
			"--cert-file=" + l.PKI("etcd.crt"),
			"--key-file=" + l.PKI("etcd.key"),
			"--peer-client-cert-auth=true",
			"--peer-trusted-ca-file=" + l.PKI("ca.crt"),
			"--peer-cert-file=" + l.PKI("etcd.crt"),
			"--peer-key-file=" + l.PKI("etcd.key"),
			"--log-level=warn",
			// What a power cut loses may be lost: the cluster is raised anew.
			"--unsafe-no-fsync=true",
		}
	},
	Probe: func(ctx context.Context, l layout.Layout) error {
		return answers(ctx, l, l.EtcdURL()+"/health")
	},
	Grace: 5 * time.Second,
}
