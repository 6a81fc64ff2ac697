// Package claim says how long to leave a record to the replica that has claimed it. A claim
// says who holds it and when that one last said so, by a clock that may be wrong.
package claim
