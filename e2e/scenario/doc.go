// Package scenario holds the stories that Argoseal must make come true on a
// real cluster. The demo tells them to a newcomer; the end-to-end tests hold
// the project to them. Each says what is expected, does it, and returns what
// happened: an error if that was not what was expected.
//
// A scenario trusts only what a user can see: the workflow, its pods and
// events, the objects in the store, and what the command line tools say.
package scenario
