// Package connections bounds what everybody who reaches a port can take from a
// program. It bounds the connections, of one host and of all, how long each may say
// nothing, the handshakes that are computed at once, and the log lines about all
// this. All our programs serve metrics and probes with it.
package connections
