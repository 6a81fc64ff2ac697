// Package store keeps what is watched of one kind of object: packed, in memory that is
// bounded, of which no namespace can take what others need.
//
// An API server may have more objects than there is room for, and tenants decide how
// many. So a Store says of each answer whether it knows all there is. What is not there
// and not all is known is to be asked of the API server: it may only have been left out.
//
// Listing, watching and trying again are client-go's Reflector's. It is given a list that
// is read object by object, so that no more than one is in memory beside what is kept.
package store
