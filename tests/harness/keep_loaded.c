// In sanitizer builds only: a driver that was unloaded cannot be named in a leak report, and then the suppressions of
// lsan.supp do not find it. So nothing is unloaded.
// Exported, in spite of the build's hidden visibility: the loader and the drivers must find this one.
__attribute__((visibility("default"))) int dlclose(void *handle);

int dlclose(void *handle) {
    (void)handle;
    return 0;
}
