// The textbook in C: a thread that reads one message and fills one block; and
// the same without the thread, in a handler of SIGBUS.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFDIO_MOVE // Linux 6.8
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

enum fill { COPY, ZERO, CONTINUE, MOVE };

// As in tasks.rs.
struct task {
	char *memory;
	char *source;
	size_t len;
	size_t block;
	size_t cpu;
	enum fill fill;
};
_Static_assert(offsetof(struct task, fill) == 40, "as in tasks.rs");

static int fill(int fd, const struct task *task, uintptr_t address)
{
	uintptr_t offset = (address - (uintptr_t)task->memory) & ~(task->block - 1);
	uintptr_t to = (uintptr_t)task->memory + offset;
	size_t len = task->block;

	switch (task->fill) {
	case COPY: {
		struct uffdio_copy copy = { .dst = to, .src = (uintptr_t)task->source, .len = len };
		return ioctl(fd, UFFDIO_COPY, &copy);
	}
	case ZERO: {
		struct uffdio_zeropage zero = { .range = { to, len } };
		return ioctl(fd, UFFDIO_ZEROPAGE, &zero);
	}
	case CONTINUE: {
		struct uffdio_continue cont = { .range = { to, len } };
		return ioctl(fd, UFFDIO_CONTINUE, &cont);
	}
	case MOVE: {
		uintptr_t from = (uintptr_t)task->source + offset;
		struct uffdio_move move = { .dst = to, .src = from, .len = len };
		return ioctl(fd, UFFDIO_MOVE, &move);
	}
	}
	return -1;
}

static int open_and_register(const struct task *task, unsigned long long features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = {
		.range = { (uintptr_t)task->memory, task->len },
		.mode = task->fill == CONTINUE ? UFFDIO_REGISTER_MODE_MINOR :
						 UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		abort();
	return fd;
}

struct handler {
	int fd;
	const struct task *task;
	// What is timed begins when the handler is where it should be.
	pthread_barrier_t begin;
};

static void *serve(void *arg)
{
	struct handler *handler = arg;
	const struct task *task = handler->task;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(task->cpu, &cpu);
	if (sched_setaffinity(0, sizeof cpu, &cpu))
		abort();
	pthread_barrier_wait(&handler->begin);
	for (size_t i = 0; i < task->len / task->block; i++) {
		struct uffd_msg msg;
		if (read(handler->fd, &msg, sizeof msg) != sizeof msg ||
		    msg.event != UFFD_EVENT_PAGEFAULT ||
		    fill(handler->fd, task, msg.arg.pagefault.address))
			abort();
	}
	return NULL;
}

void c_threaded(const struct task *task, void (*touch)(const struct task *))
{
	struct handler handler = { .fd = open_and_register(task, 0), .task = task };
	pthread_t thread;

	pthread_barrier_init(&handler.begin, NULL, 2);
	if (pthread_create(&thread, NULL, serve, &handler))
		abort();
	pthread_barrier_wait(&handler.begin);
	touch(task);
	pthread_join(thread, NULL);
	close(handler.fd);
}

static struct handler current;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	if (fill(current.fd, current.task, (uintptr_t)info->si_addr))
		abort();
}

void c_sigbus(const struct task *task, void (*touch)(const struct task *))
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	current.fd = open_and_register(task, UFFD_FEATURE_SIGBUS);
	current.task = task;
	if (sigaction(SIGBUS, &action, NULL))
		abort();
	touch(task);
	close(current.fd);
}
