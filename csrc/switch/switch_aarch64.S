/* gs_switch and gs_start for aarch64, AAPCS64.  The contract is in gs_switch.h.
 *
 * What is on the stack of a suspended place, from its sp upwards (176 bytes):
 *
 *   0x00  x29, x30 (frame pointer, return address)
 *   0x10  x19, x20
 *   0x20  x21, x22
 *   0x30  x23, x24
 *   0x40  x25, x26
 *   0x50  x27, x28
 *   0x60  d8,  d9
 *   0x70  d10, d11
 *   0x80  d12, d13
 *   0x90  d14, d15
 *   0xa0  FPCR, 8 bytes unused
 *
 * Once they are stored, the callee-saved registers are free for our own use:
 *   x19  context    x20  our sp    x21  our FPCR    x22  arrive or enter
 *
 * The way out is a jump to `arrive` by x16, which may lead to a landing pad for calls (`bti c`).
 *
 * FPCR is compared and written only when it differs: the write serialises the pipeline.
 */
#if defined(__aarch64__)

        .text

        .macro  GS_PUSH
        .cfi_startproc
        hint    #34                             /* bti c */
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x29, x30, [sp, #0x00]
        .cfi_offset x29, -176
        .cfi_offset x30, -168
        stp     x19, x20, [sp, #0x10]
        .cfi_offset x19, -160
        .cfi_offset x20, -152
        stp     x21, x22, [sp, #0x20]
        .cfi_offset x21, -144
        .cfi_offset x22, -136
        stp     x23, x24, [sp, #0x30]
        .cfi_offset x23, -128
        .cfi_offset x24, -120
        stp     x25, x26, [sp, #0x40]
        .cfi_offset x25, -112
        .cfi_offset x26, -104
        stp     x27, x28, [sp, #0x50]
        .cfi_offset x27, -96
        .cfi_offset x28, -88
        stp     d8, d9, [sp, #0x60]
        .cfi_offset d8, -80
        .cfi_offset d9, -72
        stp     d10, d11, [sp, #0x70]
        .cfi_offset d10, -64
        .cfi_offset d11, -56
        stp     d12, d13, [sp, #0x80]
        .cfi_offset d12, -48
        .cfi_offset d13, -40
        stp     d14, d15, [sp, #0x90]
        .cfi_offset d14, -32
        .cfi_offset d15, -24
        mov     x19, x0
        mov     x20, sp
        mrs     x21, fpcr
        str     x21, [sp, #0xa0]
        .endm

        .macro  GS_POP
        ldp     d14, d15, [sp, #0x90]
        ldp     d12, d13, [sp, #0x80]
        ldp     d10, d11, [sp, #0x70]
        ldp     d8, d9, [sp, #0x60]
        ldp     x27, x28, [sp, #0x50]
        ldp     x25, x26, [sp, #0x40]
        ldp     x23, x24, [sp, #0x30]
        ldp     x21, x22, [sp, #0x20]
        ldp     x19, x20, [sp, #0x10]
        ldp     x29, x30, [sp, #0x00]
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        .endm

        .globl  gs_switch
        .hidden gs_switch
        .type   gs_switch, %function
        .p2align 4
gs_switch:
        GS_PUSH
        mov     x22, x3
        cmp     x1, x20
        csel    x1, x1, x20, lo
        mov     sp, x1
        mov     x1, x20
        blr     x2
        cbz     x0, .Lswitch_stay
        mov     sp, x0
        mov     x0, x19
        mov     x16, x22
        ldr     x9, [sp, #0xa0]
        cmp     x9, x21
        b.eq    .Lswitch_out
        msr     fpcr, x9
.Lswitch_out:
        GS_POP
        br      x16
.Lswitch_stay:
        .cfi_def_cfa_offset 176
        mov     sp, x20
        mov     x0, xzr
        mov     x16, x22
        b       .Lswitch_out
        .cfi_endproc
        .size   gs_switch, .-gs_switch

        .globl  gs_start
        .hidden gs_start
        .type   gs_start, %function
        .p2align 4
gs_start:
        GS_PUSH
        mov     x22, x2
        mov     x9, x1
        mov     x1, sp
        blr     x9
        cbz     x0, .Lstart_stay
        mov     x0, x19
        mov     x9, x22
        mov     x29, xzr
        mov     x30, xzr
        b       gs_outermost
.Lstart_stay:
        GS_POP
        ret
        .cfi_endproc
        .size   gs_start, .-gs_start

/* The outermost frame of everything that gs_start begins: no caller, so unwinding ends here. */
        .type   gs_outermost, %function
        .p2align 4
gs_outermost:
        .cfi_startproc
        .cfi_undefined x30
        blr     x9
        brk     #0
        .cfi_endproc
        .size   gs_outermost, .-gs_outermost
#endif

#include "gs_note.h"
