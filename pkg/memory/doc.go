// Package memory remembers what was costly to find out, within a bound of bytes: by
// number alone, what tenants make large would fill the memory. What was not asked for
// longest is forgotten first.
package memory
