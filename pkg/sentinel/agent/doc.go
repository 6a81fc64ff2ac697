// Package agent keeps the API server's encryption file on one control-plane
// node: it says what lies there, and puts there what the operator sends.
//
// The file holds keys, so that the agent answers only to a client whose
// certificate its authority signed and that has the one name it is told; the
// client takes only an agent whose certificate has the name of its address. A
// write states which file it replaces: one that was decided on before another
// changed the file is refused. So is that of an operator whose turn is over: the
// agent remembers the latest that has looked.
//
// It keeps a copy of every file that it saw, readable for its owner alone, until
// the operator has found that nothing lies under their keys.
package agent
