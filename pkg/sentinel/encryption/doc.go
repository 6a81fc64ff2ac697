// Package encryption decides how encryption at rest is set up, rotated and
// taken away while API servers run: which keys each server's file must hold,
// and what has to happen next.
//
// The next step is a function of what is observed alone: the file of every API
// server, the hash of the configuration that the server says it runs with, and
// the keys that objects in etcd lie under. Nothing remembers a phase, so a
// process that was killed anywhere goes on from what it finds.
//
// Three rules keep every object readable through every server:
//
//   - a key is written with only after every server has loaded it for reading;
//   - a key leaves only after a scan of etcd found no object under it, made when
//     no server could still be writing with it;
//   - where files differ, what is missing is added and nothing is taken away.
//
// It trusts that a server which reports a file's hash runs with that file, and
// that it was given all servers. It does no I/O, reads no clock, and makes keys
// from the source of randomness that it is given.
package encryption
