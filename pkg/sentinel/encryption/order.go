package encryption

import (
	"cmp"
	"slices"
)

// Which key comes first: by when it was made, by objects, by servers.

// among is the newest of some keys that is wanted; false: none is. A key whose name has no
// date (somebody else made it) counts only while a server writes with it. Else a replaced key,
// perhaps a stolen one, could come back by its name.
func (w Want) among(keys []Key, o Observed) (Key, bool) {
	written := writes(o.Servers)
	keys = slices.DeleteFunc(slices.Concat(written, keys), func(k Key) bool {
		is := func(other Key) bool { return other.Ref == k.Ref }
		return !w.SatisfiedBy(k.Ref) || k.undated() && !slices.ContainsFunc(written, is)
	})
	if len(keys) == 0 {
		return Key{}, false
	}
	return newest(keys, o), true
}

// newest is the one that was made last. Undated keys are ordered by how many objects lie under
// them, then by how many servers write with them, then as they are given. So one server with
// an old file cannot decide.
func newest(keys []Key, o Observed) Key {
	return slices.MaxFunc(keys, func(a, b Key) int {
		return cmp.Or(byAge(a, b), cmp.Compare(o.under(a), o.under(b)), cmp.Compare(o.writers(a), o.writers(b)))
	})
}

// byAge compares when keys were made. Identity comes before all others.
func byAge(a, b Key) int {
	return cmp.Or(compareBool(b.Provider == Identity, a.Provider == Identity), a.Created().Compare(b.Created()))
}

// under is how many objects lie under a key, as far as etcd was read.
func (o Observed) under(k Key) int {
	if o.Scan == nil {
		return 0
	}
	return o.Scan.Under(k.Ref)
}

// writers is how many servers write with a key.
func (o Observed) writers(k Key) int {
	n := 0
	for _, written := range writes(o.Servers) {
		if written.Ref == k.Ref {
			n++
		}
	}
	return n
}

// writes are the keys that servers write with, in their order.
func writes(servers []Server) []Key {
	keys := make([]Key, 0, len(servers))
	for _, s := range servers {
		keys = append(keys, s.File.Write())
	}
	return keys
}

// target is the key that should be written with, of those that every server
// reads: the newest that is wanted. If there is none yet, the servers go on
// with the newest that one of them writes with, until all objects lie under it.
// False: to tell that, etcd has to be read.
func target(all []Key, o Observed, w Want) (Key, bool) {
	k, ok := w.among(all, o)
	if !ok {
		k = newest(writes(o.Servers), o)
	}
	asWell := func(other Key) bool { return other.Ref != k.Ref && byAge(other, k) == 0 }
	return k, o.Scan != nil || !slices.ContainsFunc(writes(o.Servers), asWell)
}
