// Package early has new entries of the installation's own log proven before the log
// answers.
//
// A Rekor v2 answers when it has seen the entry published, and looks for that once a
// second, by a constant (rekor-tiles 2.3.0, internal/tessera.NewStorage). But it has
// published the entry within a fraction of that. So while it is asked, its checkpoint and
// tiles are read, and a proof is made of them. Whichever comes first is the log's
// word, and is verified alike by who asked: nothing counts because it was made here.
package early
