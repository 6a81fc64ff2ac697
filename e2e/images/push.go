package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/argoseal/argoseal/e2e/cluster/image"
)

// push writes the images to the registry that their names begin with.
func (b *builder) push(ctx context.Context, images []*image.Image) error {
	for _, img := range images {
		ref, err := name.ParseReference(img.Tagged())
		if err != nil {
			return err
		}
		b.progress.Start("push " + img.Tagged())
		err = remote.Write(ref, img.OCI(), remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
		if err != nil {
			b.progress.Fail()
			return fmt.Errorf("push %s: %w", img.Tagged(), err)
		}
		b.progress.Done()
	}
	return nil
}
