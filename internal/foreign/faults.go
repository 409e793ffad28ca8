package foreign

import (
	"fmt"

	"tarn/internal/lake"
)

// wrong is the error of what others wrote and does not hold what it should.
func wrong(uri, format string, args ...any) error {
	e := lake.Errorf(lake.CodeRowsInvalid, format, args...)
	e.Step = uri
	return e.WithHint("ask the owner of the table: its own programs should fail at it as well")
}

// refused is the error of what a table of others has and tarn does not read.
func refused(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeUnsupported, format, args...)
}

// decoded calls a decoder of iceberg-go, some of which panic at bytes that are none of
// theirs, and gives its errors for what they are: the fault of the file.
func decoded[T any](uri string, decode func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = wrong(uri, "%w", fmt.Errorf("%v", r))
		}
	}()
	out, err = decode()
	if err != nil && lake.CodeOf(err) == lake.CodeInternal {
		err = wrong(uri, "%w", err)
	}
	return out, err
}
