// Package epoch says since when the guards have held in a namespace: since when it
// has had a mode without interruption, and since when each of our admission
// policies has been there. What a tenant could write before that proves nothing.
//
// It trusts the record, which only our processes and whoever may write ConfigMaps
// in Argoseal's namespace can write. It also trusts that whoever may change a
// policy in place does not weaken it. It asks nobody: package keeper does.
package epoch
