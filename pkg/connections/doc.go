// Package connections bounds what whoever reaches a port can have of a program: how many
// connections there are, of one host and in all, for how long each may say nothing, how
// many handshakes are computed, and how many lines of a log tell of it. Metrics and probes
// of all our programs are served so.
package connections
