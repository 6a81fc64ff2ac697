// Package stored reads Workflows and the templates that they refer to as the API server has
// them. Whoever may write one chooses what it unpacks to: some hundred bytes in memory for
// each of a few in the text. So a text is counted before it is decoded, and refused if it
// would take too much; what is decoded has room for what it takes, as long as somebody uses
// it; and that room is shared out by namespace.
package stored
