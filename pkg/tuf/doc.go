// Package tuf reads one file out of a TUF repository (The Update Framework): the
// trusted_root.json that somebody else keeps up to date for many.
//
// It trusts the root.json that it is given first, the clock of its caller, and the state that
// it gave before: without that an older repository would pass for the newest. It does not
// trust whoever serves the repository. What he shows is verified by go-tuf as TUF says;
// bounds and where it is read from are ours. It writes nothing but files of its own, for as
// long as one reading takes.
package tuf
