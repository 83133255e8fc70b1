/* C++ exceptions, and stacks that are unwound, with switches of greenlets in the middle.
 *
 * What belongs here: functions that throw, catch, and call back into Python at the interesting moments.  What
 * never does: what C can do; that is in slots.c.
 *
 * Compiled against our header and against greenlet's: only names that both have.
 */
#include <greenlet/greenlet.h>

#include <pthread.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace {

long alive; /* exceptions and guards that have not been destroyed */

struct Failure : std::runtime_error {
    explicit Failure(const std::string &what) : std::runtime_error(what) { alive++; }
    Failure(const Failure &other) : std::runtime_error(other) { alive++; }
    ~Failure() override { alive--; }
};

/* A Python exception is set. */
struct PythonError {};

/* Call back, or with None switch to the parent from here. */
void
pause(PyObject *callback)
{
    PyObject *result = nullptr;
    if (callback != Py_None) {
        result = PyObject_CallObject(callback, nullptr);
    }
    else if (PyGreenlet *self = PyGreenlet_GetCurrent()) {
        PyGreenlet *parent = PyGreenlet_GetParent(self);
        Py_DECREF(self); /* a suspended greenlet that refers to itself is there for good */
        if (parent != nullptr) {
            result = PyGreenlet_Switch(parent, nullptr, nullptr);
            Py_DECREF(parent);
        }
    }
    if (result == nullptr) {
        throw PythonError();
    }
    Py_DECREF(result);
}

/* What the C++ runtime believes to be going on, in the calling greenlet. */
std::string
state()
{
    std::string text = std::to_string(std::uncaught_exceptions()) + " in flight, handling ";
    try {
        if (std::current_exception() == nullptr) {
            return text + "none";
        }
        throw;
    }
    catch (const std::exception &error) {
        return text + error.what();
    }
    catch (...) {
        return text + "something";
    }
}

PyObject *
text_of(const std::string &text)
{
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

/* handle(name, callback): pauses inside of a try block, inside of a catch block, inside of a catch block
 * within that one, and after throwing on with `throw;`.  What it saw of its own exceptions. */
PyObject *
handle(PyObject *, PyObject *args)
{
    const char *name;
    PyObject *callback;
    if (!PyArg_ParseTuple(args, "sO:handle", &name, &callback)) {
        return nullptr;
    }
    try {
        std::string seen;
        try {
            try {
                pause(callback);
                throw Failure(name);
            }
            catch (const Failure &outer) {
                seen += outer.what();
                pause(callback);
                try {
                    throw Failure(std::string(name) + "'");
                }
                catch (const Failure &inner) {
                    pause(callback);
                    seen += std::string(" ") + inner.what() + " (" + state() + ")";
                }
                pause(callback);
                seen += std::string(" (") + state() + ") ";
                throw;
            }
        }
        catch (const Failure &again) {
            pause(callback);
            seen += again.what();
        }
        pause(callback);
        return text_of(seen + " (" + state() + ")");
    }
    catch (const PythonError &) {
        return nullptr;
    }
}

/* Pauses while an exception passes. */
struct Guard {
    PyObject *callback;
    std::string &seen;
    Guard(PyObject *c, std::string &s) : callback(c), seen(s) { alive++; }
    ~Guard()
    {
        alive--;
        try {
            pause(callback);
            seen += state() + "; ";
        }
        catch (const PythonError &) {
            PyErr_Clear();
        }
    }
    Guard(const Guard &) = delete;
    Guard &operator=(const Guard &) = delete;
};

/* unwind(name, callback): pauses in two destructors while an exception is in flight. */
PyObject *
unwind(PyObject *, PyObject *args)
{
    const char *name;
    PyObject *callback;
    if (!PyArg_ParseTuple(args, "sO:unwind", &name, &callback)) {
        return nullptr;
    }
    std::string seen;
    try {
        Guard first(callback, seen);
        Guard second(callback, seen);
        throw Failure(name);
    }
    catch (const Failure &error) {
        seen += error.what();
    }
    return text_of(seen + " (" + state() + ")");
}

/* state(): in the calling greenlet. */
PyObject *
get_state(PyObject *, PyObject *)
{
    return text_of(state());
}

/* wrapped(name, depth): what leaves C++ becomes a Python exception. */
void
sink(const std::string &name, long depth)
{
    Failure local("on the way");
    if (depth > 0) {
        sink(name, depth - 1);
        return;
    }
    pause(Py_None);
    throw Failure(name);
}

PyObject *
wrapped(PyObject *, PyObject *args)
{
    const char *name;
    long depth;
    if (!PyArg_ParseTuple(args, "sl:wrapped", &name, &depth)) {
        return nullptr;
    }
    try {
        sink(name, depth);
    }
    catch (const PythonError &) {
        return nullptr;
    }
    catch (const std::exception &error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
        return nullptr;
    }
    Py_RETURN_NONE;
}

/* unwrapped(): nobody catches it. */
PyObject *
unwrapped(PyObject *, PyObject *)
{
    throw Failure("nobody catches this");
}

struct Local {
    Local() { alive++; }
    ~Local() { alive--; }
    Local(const Local &) = delete;
    Local &operator=(const Local &) = delete;
};

/* guarded(callable): calls it with a destructor pending. */
PyObject *
guarded(PyObject *, PyObject *callable)
{
    Local local;
    return PyObject_CallObject(callable, nullptr);
}

/* exit_thread(): the native thread ends here and now, which unwinds its stack. */
PyObject *
exit_thread(PyObject *, PyObject *)
{
    Local local;
    PyEval_SaveThread();
    pthread_exit(nullptr);
}

PyObject *
get_alive(PyObject *, PyObject *)
{
    return PyLong_FromLong(alive);
}

PyMethodDef methods[] = {
    {"handle", handle, METH_VARARGS, nullptr},
    {"unwind", unwind, METH_VARARGS, nullptr},
    {"state", get_state, METH_NOARGS, nullptr},
    {"wrapped", wrapped, METH_VARARGS, nullptr},
    {"unwrapped", unwrapped, METH_NOARGS, nullptr},
    {"guarded", guarded, METH_O, nullptr},
    {"exit_thread", exit_thread, METH_NOARGS, nullptr},
    {"alive", get_alive, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "exceptions", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr,
};

} // namespace

PyMODINIT_FUNC
PyInit_exceptions(void)
{
    PyGreenlet_Import();
    if (_PyGreenlet_API == nullptr) {
        return nullptr;
    }
    return PyModule_Create(&definition);
}
