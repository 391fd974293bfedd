// Package confine leaves a managed plugin only what it uses of the host.
//
// The engine mounts the host's /run, /etc and /var/lib into the plugin, since a folder that
// is not there yet would keep the plugin from being enabled. Before the process hears of
// anybody but the engine, Enter makes a mount namespace of its own for it, with the folders
// that it uses and no others, gives up the capabilities that nothing needs, CAP_SYS_ADMIN
// among them, and runs the program anew. So the mounts of the namespace in which the process
// was started are never changed, whosever they are, and all threads have lost what one gave
// up: a thread's own namespace and capabilities are those of the process after execve(2).
//
// Look tells what is left. Only root can use the package, on Linux.
package confine
