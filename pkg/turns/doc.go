// Package turns is a queue of work in which parties take turns. However much one party has
// waiting, another's first item waits for at most one of each party before it.
package turns
