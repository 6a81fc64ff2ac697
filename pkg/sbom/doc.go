// Package sbom knows software bills of materials by their kinds: SPDX and CycloneDX, in
// JSON. It reads of one only what says which it is and that there is something in it. What
// it lists, nobody here trusts or judges.
package sbom
