package store

import "context"

// Local implements Store: the object's own file on the machine's disk, and a
// copy in scratch, one a call, for any other file system.
func (l *Local) Local(ctx context.Context, key string) (path string, release func(), err error) {
	if l.onDisk {
		if _, err := l.Stat(ctx, key); err != nil {
			return "", nil, err
		}
		return l.path(key), func() {}, nil
	}
	src, err := l.Open(ctx, key)
	if err != nil {
		return "", nil, err
	}
	defer src.Close()
	path, release, err = l.copies.Make(l.scratch, key, src)
	if err != nil {
		return "", nil, notCreated(key, "materialise", err)
	}
	return path, release, nil
}
