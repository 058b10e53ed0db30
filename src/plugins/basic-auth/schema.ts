import { z } from 'zod'
import { parsePasswordHash } from '../../core/password.ts'
import { duration, identityText } from '../fields.ts'

/** One user, in the configuration or in a file. */
export const userEntry = z.strictObject({
  username: identityText
    // RFC 7617 §2: what comes behind the first colon is the password.
    .refine((name) => !name.includes(':'), 'must not hold a colon')
    .describe('What the user types, and what upstreams and logs call the credential.'),
  // The value is not told: it may be a password by mistake.
  password_hash: z
    .string()
    .refine(
      (text) => parsePasswordHash(text) !== null,
      'is no hash of a password: "sluice hash-key --password" makes one',
    )
    .describe('What `sluice hash-key --password` prints (scrypt, in the form `$scrypt$ln=15,r=8,p=3$…`).'),
  consumer: identityText.optional().describe('Id of the consumer that the user is; else the username.'),
  status: z.enum(['active', 'disabled']).default('active').describe('`disabled`: refused, as if it were gone.'),
})

export type UserEntry = z.output<typeof userEntry>

export const schema = z
  .strictObject({
    users: z.array(userEntry).default([]).describe('Users.'),
    file: z
      .string()
      .min(1)
      .optional()
      .describe('File with further users: a JSON array, or one JSON object per line. A change takes effect at once.'),
    cache_ttl: duration()
      .prefault('10m')
      .describe(
        'How long a worker remembers that a password was right: to check it anew takes a quarter of a second on another thread. ' +
          'A user who is taken away, disabled, or given another password is out at once all the same.',
      ),
    hide_credentials: z.boolean().default(true).describe('Whether user and password are kept from the upstream.'),
    optional: z
      .boolean()
      .default(false)
      .describe(
        'Whether requests without a user are let through, without a consumer. A bad one is refused all the same.',
      ),
    realm: z
      .string()
      .refine((text) => /^[ !#-[\]-~]+$/.test(text), 'must be ASCII text without quotes and backslashes')
      .default('api')
      .describe('What browsers call this place when they ask for user and password.'),
  })
  .superRefine(({ users, file }, context) => {
    if (users.length === 0 && file === undefined) context.addIssue('needs users: at least one of "users" and "file"')
    users.forEach(({ username }, i) => {
      if (users.findIndex((other) => other.username === username) < i)
        context.addIssue({
          code: 'custom',
          path: ['users', i, 'username'],
          message: `user "${username}" is there twice`,
        })
    })
  })

export type Config = z.output<typeof schema>
