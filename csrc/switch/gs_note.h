/* What every assembler file says of itself to the linker, at its end: the property note and the stack note.
 *
 * The linker promises for the whole library what all of its objects promise, so that the file of the other
 * machine, which is empty here, has to say the same as the rest.
 *
 * Landing pads (IBT of x86-64, BTI of aarch64; bit 0 of the feature word of each) are promised when the
 * compiler asked for them.  The bit for shadow stacks (SHSTK, GCS) stays clear: a switch of stacks returns to
 * where its call did not come from.
 */
#ifndef GS_NOTE_H
#define GS_NOTE_H

#if defined(__x86_64__) && defined(__CET__)
#if __CET__ & 1
#define GS_NOTE_FEATURES 0xc0000002
#endif
#elif defined(__aarch64__) && defined(__ARM_FEATURE_BTI_DEFAULT)
#define GS_NOTE_FEATURES 0xc0000000
#endif

#if defined(GS_NOTE_FEATURES)
        .section .note.gnu.property, "a", %note
        .p2align 3
        .long   4                               /* bytes of the name */
        .long   16                              /* bytes of what follows it */
        .long   5                               /* NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   GS_NOTE_FEATURES
        .long   4                               /* bytes of the value */
        .long   1
        .long   0                               /* up to a multiple of 8 */
#endif

        .section .note.GNU-stack, "", %progbits

#endif
