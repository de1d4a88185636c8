// The textbook loop: read one message, copy one page.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct job {
	int fd;
	long pages;
	size_t size;
	char *memory;
	char *source;
	int failed;
};

static void *serve(void *arg)
{
	struct job *job = arg;
	for (long i = 0; i < job->pages; i++) {
		struct uffd_msg msg;
		if (read(job->fd, &msg, sizeof msg) != sizeof msg ||
		    msg.event != UFFD_EVENT_PAGEFAULT) {
			job->failed = 1;
			break;
		}
		uintptr_t at = msg.arg.pagefault.address & ~(job->size - 1);
		struct uffdio_copy copy = {
			.dst = at,
			.src = (uintptr_t)job->source + (at - (uintptr_t)job->memory),
			.len = job->size,
		};
		if (ioctl(job->fd, UFFDIO_COPY, &copy)) {
			job->failed = 1;
			break;
		}
	}
	return NULL;
}

// Runs `touch` over new memory of so many pages, which is served.
int c_textbook(long pages, size_t size, void *source, void (*touch)(void *))
{
	struct job job = { .pages = pages, .size = size, .source = source };
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t handler;

	job.fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (job.fd < 0 || ioctl(job.fd, UFFDIO_API, &api))
		return 1;
	job.memory = mmap(NULL, pages * size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (job.memory == MAP_FAILED)
		return 1;
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)job.memory, .len = pages * size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	if (ioctl(job.fd, UFFDIO_REGISTER, &reg))
		return 1;
	if (pthread_create(&handler, NULL, serve, &job))
		return 1;
	touch(job.memory);
	pthread_join(handler, NULL);
	munmap(job.memory, pages * size);
	close(job.fd);
	return job.failed;
}
