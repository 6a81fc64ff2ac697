// Package jsonsize counts what a text in JSON has in it, without decoding it: some bytes of
// a list of small objects are hundreds once they are decoded, which is how a short text
// takes all memory (amplification, CWE-405). What is too much is refused before it is
// decoded, and what is decoded has room for what it takes.
package jsonsize
