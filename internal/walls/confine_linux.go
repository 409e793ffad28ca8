package walls

// confine raises the walls. Landlock comes first: on older kernels it is put on
// every thread by a signal to each, which the other wall would refuse.
func confine(p Plan, r *Report) {
	if abi, err := landlockSelf(p); err != nil {
		r.lacks("Landlock", err)
	} else {
		r.LandlockABI = abi
	}
	if err := filterSelf(); err != nil {
		r.lacks("seccomp", err)
	} else {
		r.Seccomp = true
	}
}
