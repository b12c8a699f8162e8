/* main.c - the one executable: its first argument is the verb. */
#include <stdio.h>

int main(int argc, char **argv)
{
	(void)argv;
	fprintf(stderr, "usage: roost VERB ...\n");
	return argc < 2 ? 2 : 2;
}
