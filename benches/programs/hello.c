// Says hello by one system call, and ends. Built with glibc, musl and nolibc.
#ifndef NOLIBC
#include <unistd.h>
#endif

int main(void)
{
	return write(1, "Hello, world!\n", 14) != 14;
}
