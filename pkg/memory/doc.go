// Package memory remembers what was costly to find out, up to a bound in bytes: a
// bound on the number alone would not do, because tenants can make things large. It
// first forgets what nobody has asked for longest.
package memory
