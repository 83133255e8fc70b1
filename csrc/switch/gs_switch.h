/* The machine layer: leave one place on the C stack and go on at another.
 *
 * What belongs here: registers, the stack pointer, and nothing else.  What never does: whose stack it
 * is, where a suspended stack is kept, Python.
 *
 * The contract, for each architecture's switch_<arch>.S:
 *
 *   void *gs_switch(void *context, gs_leave *leave, gs_arrive *arrive)
 *     1. Push the registers that the ABI says a callee keeps, and the floating-point control words.
 *     2. Call leave(context, sp), where sp is the lowest address that this suspended place needs.  It
 *        returns the sp of the place to go on at - one that an earlier gs_switch or gs_start handed to
 *        its own `leave` - or NULL to stay.
 *     3. If it returned NULL: drop what was pushed and return NULL.
 *     4. Set the stack pointer to what it returned.
 *     5. Call arrive(context), which may still write at and above the new sp: it runs below it.
 *     6. Pop control words and registers and return `context` to whoever was suspended there.
 *
 *   void *gs_start(void *context, gs_leave *leave, gs_arrive *enter)
 *     The same, but the new place begins where the old one ends: `leave` returns the sp that it was
 *     given (or NULL to stay), and instead of arriving somewhere `enter(context)` is called as the
 *     outermost frame of a new activity.  It must not return.  Unwinders stop there.
 *
 * `context` must not live on the stack that is left.  `leave` and `arrive` must not change the
 * floating-point control words.  Between them nothing that is on the stack may be relied upon but what
 * the callee itself has pushed.
 *
 * Not part of the contract: signal masks, the shadow stack of CET or GCS (a process that enforces one
 * cannot run this), and caller-saved registers, which the compiler has spilled already.
 */
#ifndef GS_SWITCH_H
#define GS_SWITCH_H

typedef void *gs_leave(void *context, void *sp);
typedef void gs_arrive(void *context);

#if defined(__GNUC__)
#define GS_HIDDEN __attribute__((visibility("hidden")))
#else
#define GS_HIDDEN
#endif

GS_HIDDEN void *gs_switch(void *context, gs_leave *leave, gs_arrive *arrive);
GS_HIDDEN void *gs_start(void *context, gs_leave *leave, gs_arrive *enter);

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "greenswitch runs on x86-64 and aarch64 only: there is no stack switch for this machine."
#endif

#endif
