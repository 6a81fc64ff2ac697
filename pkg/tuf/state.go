package tuf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// State is what was verified of a repository last. The next reading begins with it: without
// it an older repository, or keys that were taken out of its root since, would count again.
type State struct {
	// Anchor names the root.json that somebody trusted first.
	Anchor string `json:"anchor"`
	// Root, Timestamp and Snapshot are the last metadata that verified, to the byte.
	Root      []byte `json:"root,omitempty"`
	Timestamp []byte `json:"timestamp,omitempty"`
	Snapshot  []byte `json:"snapshot,omitempty"`
	// Roles are versions and ends of what was verified, by role.
	Roles map[Role]Signed `json:"roles,omitempty"`
}

// Role is a role of TUF.
type Role string

// The roles that every repository has. Root and targets are signed by people, snapshot and
// timestamp by a program of the repository's.
const (
	RoleRoot      Role = metadata.ROOT
	RoleTargets   Role = metadata.TARGETS
	RoleSnapshot  Role = metadata.SNAPSHOT
	RoleTimestamp Role = metadata.TIMESTAMP
)

// Roles are all of them.
func Roles() []Role { return []Role{RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp} }

// Signed is one file of metadata.
type Signed struct {
	Version int64 `json:"version"`
	// Until is when it ends: from then on nobody trusts what it says.
	Until time.Time `json:"until"`
}

// files are what a state keeps, by name, as go-tuf has them.
func (s *State) files() map[string]*[]byte {
	return map[string]*[]byte{"root.json": &s.Root, "timestamp.json": &s.Timestamp, "snapshot.json": &s.Snapshot}
}

func (s *State) write(dir string) error {
	for name, content := range s.files() {
		if *content == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), *content, 0o600); err != nil {
			return fmt.Errorf("TUF metadata: %w", err)
		}
	}
	return nil
}

// read takes what go-tuf keeps, which is what has verified.
func (s *State) read(dir string) error {
	for name, content := range s.files() {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("TUF metadata: %w", err)
		}
		*content = raw
	}
	return nil
}

// see notes versions and ends. What was not reached stays as it was.
func (s *State) see(set trustedmetadata.TrustedMetadata) {
	roles := map[Role]Signed{}
	for role, signed := range s.Roles {
		roles[role] = signed
	}
	if m := set.Root; m != nil {
		roles[RoleRoot] = Signed{m.Signed.Version, m.Signed.Expires}
	}
	if m := set.Timestamp; m != nil {
		roles[RoleTimestamp] = Signed{m.Signed.Version, m.Signed.Expires}
	}
	if m := set.Snapshot; m != nil {
		roles[RoleSnapshot] = Signed{m.Signed.Version, m.Signed.Expires}
	}
	if m := set.Targets[metadata.TARGETS]; m != nil {
		targets := Signed{m.Signed.Version, m.Signed.Expires}
		for _, delegated := range set.Targets {
			if delegated.Signed.Expires.Before(targets.Until) {
				targets.Until = delegated.Signed.Expires
			}
		}
		roles[RoleTargets] = targets
	}
	s.Roles = roles
}
