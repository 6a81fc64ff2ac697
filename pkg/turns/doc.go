// Package turns is a queue of work in which parties take turns: however much one has waiting,
// the first of another is next but those of the parties before it.
package turns
