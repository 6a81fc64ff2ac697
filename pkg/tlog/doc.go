// Package tlog is a transparency log as others see it: the checkpoints that it signs of
// itself, and the tiles from which anybody can check that one extends another, or hash
// every entry up to one. The layout is C2SP tlog-tiles, which Rekor v2 writes.
//
// It trusts the log's public key, which a trusted root gives, and nothing that the log
// says: checkpoints, tiles and entries are hostile and bounded before they are parsed.
package tlog
