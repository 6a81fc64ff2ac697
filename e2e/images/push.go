package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push writes the images to the registry that their names begin with.
func (b *builder) push(ctx context.Context, images []built) error {
	for _, img := range images {
		tagged := img.native.Tagged()
		ref, err := name.ParseReference(tagged)
		if err != nil {
			return err
		}
		b.progress.Start("push " + tagged)
		options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
		if img.index != nil {
			err = remote.WriteIndex(ref, img.index.OCI(), options...)
		} else {
			err = remote.Write(ref, img.native.OCI(), options...)
		}
		if err != nil {
			b.progress.Fail()
			return fmt.Errorf("push %s: %w", tagged, err)
		}
		b.progress.Done()
	}
	return nil
}
