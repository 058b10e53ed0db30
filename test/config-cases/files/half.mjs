export default { name: 'half', summary: 'Half a plugin.', class: 'magic' }
