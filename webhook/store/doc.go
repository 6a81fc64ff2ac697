// Package store keeps the watched objects of one kind: packed, in bounded memory,
// and so that no namespace can take what others need.
//
// An API server may have more objects than there is room for, and tenants decide
// how many. So a Store says of each answer whether it knows everything. If it does
// not, an object that is missing here has to be asked of the API server: it may
// only have been left out.
//
// Client-go's Reflector lists, watches and tries again. It is given a list that is
// read object by object, so that beside what is kept only one object is in memory.
package store
