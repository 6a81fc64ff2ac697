package part

import (
	_ "embed"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
)

// vaultRecipe is HashiCorp's Vault, with the engines that are part of it and nothing of
// clouds or databases; without its pages, which are a program of their own. Its sibling
// modules are taken as published: v1.21.3 and v1.21.4 call what no one published SDK has.
var vaultRecipe = gobuild.Recipe{
	Name:    "vault",
	Module:  "github.com/hashicorp/vault",
	Version: "v1.21.2",
	Sum:     "h1:t6/vAAhgGvKukkIAQBUPenvfLiJ5oUm8CmOMa6tgUYQ=",
	DropReplace: []string{
		"github.com/hashicorp/vault/api",
		"github.com/hashicorp/vault/api/auth/approle",
		"github.com/hashicorp/vault/api/auth/kubernetes",
		"github.com/hashicorp/vault/api/auth/userpass",
		"github.com/hashicorp/vault/sdk",
	},
	Sums:    vaultSums,
	Targets: []gobuild.Target{{Name: "vault", Package: "."}},
	Tags:    []string{"minimal"},
}

// vaultSums are the go.sum lines of the sibling modules.
//
//go:embed vault.sum
var vaultSums string
