// Package budget bounds what Argoseal stores for one namespace: its Provenances,
// ArtifactSeals and WorkflowProvenances, by number and by bytes. Tenants decide how many
// steps they run and how much each has to be told of, and all of it is in one etcd.
//
// A Ledger counts, and a Board tells the API server's admission policy which namespaces
// have used theirs up. It trusts what the informers say. A ledger is behind by as much
// as they are, so a budget is a bound on growth, not an exact number:
//
//	from four fifths on       an event in the namespace says so, once an hour
//	from the budget on        no step begins (the policy argoseal-budget)
//	up to an eighth more      what had begun by then gets its seal
//	up to a quarter more      its record says BudgetExceeded, and has no seal
//	beyond                    nothing is stored, until there is room
package budget
