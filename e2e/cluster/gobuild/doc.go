// Package gobuild builds programs from pinned Go modules into a cache.
//
// The development cluster needs an API server, a container runtime, an S3
// store and a dozen tools, and the machine it runs on may have neither Docker
// nor a package for any of them. Every one of them is a Go program, though, so
// a module path, a version and a checksum say all there is to say about it.
//
// What is trusted: the checksum written down in the [Recipe]. What the module
// proxy serves is compared with it before anything is compiled, and the
// module's own go.sum (plus the lines a recipe adds) pins what it depends on.
// What is not: the work folder of an earlier build that was cut short; it is
// thrown away. Binaries appear in the cache by rename only, so whatever has
// its name is complete.
package gobuild
